// Before the first picture, so that a chosen theme does not flash.
try {
  const theme = localStorage.getItem('hyperiondb-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden.
}
