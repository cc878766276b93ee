// Where an axis begins and ends, and where its marks are.

/** Return a range that is not empty. */
export function widen(low, high) {
  if (low === null) return [0, 1];
  return low === high ? [low - 1, high + 1] : [low, high];
}

/** 1, 2 and 5 times the powers of ten; evenly spaced where the range holds too few of them. */
export function splitLog(_plot, _axis, low, high) {
  const splits = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of [1, 2, 5]) splits.push(factor * 10 ** power);
  }
  const inside = splits.filter((value) => value >= low && value <= high);
  if (inside.length > 2) return inside.map((value) => Number(value.toPrecision(6)));
  return [0, 1, 2, 3, 4].map((step) => Number((low * (high / low) ** (step / 4)).toPrecision(2)));
}
