/** Light, dark, or as the system: one button goes through the three. */

import { byId } from './dom.js';

/** `index.html` reads it, too, before anything is painted. */
const KEY = 'sam-export-theme';
const THEMES = ['system', 'light', 'dark'] as const;
type Theme = (typeof THEMES)[number];
const LABELS: Readonly<Record<Theme, string>> = { system: 'as the system', light: 'light', dark: 'dark' };

export function startTheme(announce: (text: string) => void): void {
  const button = byId('theme');
  let theme = stored();
  const apply = () => {
    document.documentElement.dataset['theme'] = theme;
    button.ariaLabel = button.title = `Appearance: ${LABELS[theme]}`;
  };
  apply();
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    apply();
    announce(`Appearance: ${LABELS[theme]}`);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // A browser that keeps nothing forgets this, too.
    }
  });
}

function stored(): Theme {
  try {
    const found = localStorage.getItem(KEY);
    return THEMES.find((theme) => theme === found) ?? 'system';
  } catch {
    return 'system';
  }
}
