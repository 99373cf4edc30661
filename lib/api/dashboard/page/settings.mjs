// What a viewer chooses: the time that is shown, the colours, a pause. Kept by this browser.

import { byId, setText } from './dom.mjs';

/** @param {string} name */
function stored(name) {
  try {
    return localStorage.getItem(`hyperiondb-${name}`);
  } catch {
    return null; // storage may be forbidden
  }
}

/** @param {string} name @param {string} value */
function store(name, value) {
  try {
    localStorage.setItem(`hyperiondb-${name}`, value);
  } catch {
    // The choice ends with the page then.
  }
}

/** @param {string} name of the radio buttons @param {(value: string) => void} onChange */
function choice(name, onChange) {
  const radios = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll(`input[name="${name}"]`)]);
  const before = stored(name);
  for (const radio of radios) {
    if (radio.value === before) radio.checked = true;
    radio.addEventListener('change', () => {
      store(name, radio.value);
      onChange(radio.value);
    });
  }
  onChange(radios.find(({ checked }) => checked)?.value ?? '');
}

/** @param {{ minutes(value: number): void, colours(): void, pause(isPaused: boolean): void }} on */
export function settings(on) {
  choice('minutes', (value) => on.minutes(Number(value)));
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let theme = 'auto';
  const showTheme = () => {
    const ofSystem = dark.matches ? 'dark' : 'light';
    document.documentElement.dataset.theme = theme === 'auto' ? ofSystem : theme;
    on.colours();
  };
  choice('theme', (value) => {
    theme = value;
    showTheme();
  });
  dark.addEventListener('change', showTheme);
  const pause = byId('pause');
  pause.addEventListener('click', () => {
    const isPaused = pause.getAttribute('aria-pressed') !== 'true';
    pause.setAttribute('aria-pressed', String(isPaused));
    setText(pause, isPaused ? 'Resume' : 'Pause');
    on.pause(isPaused);
  });
}
