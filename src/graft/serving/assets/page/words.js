// @ts-check
/** Numbers and names as the page's sentences say them. */

/** @param {string} text @returns {string} control and direction characters made visible as one sign */
export function clean(text) {
  return text.replace(/[\p{Cc}\p{Cs}\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu, "\ufffd");
}

/** @param {number} share @returns {string} "97 %", "99.6 %"; all or nothing only where it is */
export function percent(share) {
  if (share !== 0 && share !== 1 && (share < 0.001 || share > 0.999)) return chance(share);
  const round = share === 0 || share === 1 || (share >= 0.01 && share <= 0.99);
  return `${(share * 100).toFixed(round ? 0 : 1)}\u00a0%`;
}

/** @param {number} probability @returns {string} as `percent`, but nothing is ever certain: a 1 is a rounded number */
export function chance(probability) {
  if (probability < 0.001) return "under 0.1\u00a0%";
  return probability > 0.999 ? "over 99.9\u00a0%" : percent(probability);
}

/** @param {number} bytes @returns {string} "5.2 MB" (1 MB = 1,000,000 bytes) */
export function byteSize(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))}\u00a0kB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)}\u00a0MB`;
}

/** @param {number} number @param {string} noun @returns {string} "1 photo", "2,062 photos" */
export function counted(number, noun) {
  const ending = number === 1 ? "" : noun.endsWith("s") ? "es" : "s";
  return `${number.toLocaleString("en")} ${noun}${ending}`;
}
