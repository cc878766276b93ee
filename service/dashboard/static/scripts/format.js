// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export const NONE = "–";

export function formatCount(value) {
  return isMissing(value) ? NONE : whole.format(value);
}

/** "1 image", "2,000 images". */
export function formatCounted(count, singular, plural = `${singular}s`) {
  return `${formatCount(count)} ${count === 1 ? singular : plural}`;
}

export function formatPercent(share, digits = 1) {
  return isMissing(share) ? NONE : `${(share * 100).toFixed(digits)} %`;
}

/** Four significant digits, without a power of ten where it can be avoided. */
export function formatNumber(value) {
  if (isMissing(value)) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e10)) return value.toExponential(2);
  return size >= 1000 ? whole.format(value) : String(Number(value.toPrecision(4)));
}

/** "45 s", "3 min 20 s", "2 h 5 min". */
export function formatDuration(seconds) {
  if (isMissing(seconds)) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return joinUnits(Math.floor(rounded / 60), "min", rounded % 60, "s");
  if (rounded < 86_400)
    return joinUnits(Math.floor(rounded / 3600), "h", Math.floor((rounded % 3600) / 60), "min");
  return joinUnits(Math.floor(rounded / 86_400), "d", Math.floor((rounded % 86_400) / 3600), "h");
}

function joinUnits(large, largeUnit, small, smallUnit) {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

export function formatBytes(bytes) {
  if (isMissing(bytes)) return NONE;
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ]) {
    if (bytes >= size) return `${Number((bytes / size).toPrecision(3))} ${unit}`;
  }
  return `${bytes} B`;
}

/** "5 minutes ago". */
export function formatAgo(timestamp) {
  const seconds = (new Date(timestamp) - Date.now()) / 1000;
  for (const [unit, size] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return seconds > -10 ? "just now" : relative.format(Math.round(seconds), "second");
}

export function formatTime(timestamp) {
  return absolute.format(new Date(timestamp));
}

export function formatClock(timestamp) {
  return clock.format(new Date(timestamp));
}

/** "label_smoothing" → "Label smoothing". */
export function formatName(name) {
  const words = name.replaceAll("_", " ").replace("dataset", "data set");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function isMissing(value) {
  return value === null || value === undefined || Number.isNaN(value);
}
