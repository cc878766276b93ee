// The exponential moving average of noisy curves.

/** Return the average of `values` with `weight` (0 to 1) on what came before.
 *
 * The early values are corrected for the average's start at zero (Kingma and Ba 2015, section 3).
 */
export function smooth(values, weight) {
  if (!weight) return values;
  let average = 0;
  let correction = 1;
  return values.map((value) => {
    average = weight * average + (1 - weight) * value;
    correction *= weight;
    return average / (1 - correction);
  });
}
