/** Colours of objects: far apart, and seen on bright and on dark pictures. */

type Rgb = readonly [red: number, green: number, blue: number];

const FIRST: readonly Rgb[] = [
  [46, 134, 255],
  [255, 106, 77],
  [34, 197, 140],
  [250, 189, 47],
  [184, 107, 255],
  [255, 92, 160],
  [34, 200, 226],
  [156, 204, 52],
  [255, 146, 43],
  [120, 120, 255],
];
/** Hues a golden angle apart come back to no earlier one. */
const GOLDEN_ANGLE = 137.508;

/** Return the colour of an object by its number, from 1. */
export function colourOf(id: number): Rgb {
  return FIRST[id - 1] ?? fromHue((id * GOLDEN_ANGLE) % 360);
}

export function css([red, green, blue]: Rgb, opacity = 1): string {
  return `rgb(${red} ${green} ${blue} / ${opacity})`;
}

/** Return a bright colour of a hue in degrees: HSL with 85 % saturation and 60 % lightness. */
function fromHue(hue: number): Rgb {
  const channel = (offset: number) => {
    const k = (offset + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.34 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
