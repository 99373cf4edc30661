// Before the first picture, so that the theme does not flash. settings.mjs follows what the viewer and the system choose later.
const { dataset } = document.documentElement;
dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
try {
  const theme = localStorage.getItem('hyperiondb-theme');
  if (theme === 'light' || theme === 'dark') dataset.theme = theme;
} catch {
  // Storage may be forbidden.
}
