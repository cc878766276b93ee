// Reads the fields of a request out of the OpenAPI document.

import { formatNumber } from "../format.js";

/** Return a list of {name, description, kind, choices, bounds, standard}.
 *
 * `kind` is "choice", "integer", "number" or "text"; `bounds` is a phrase; `standard` the default.
 */
export function readFields(openapi, schema) {
  const { properties } = openapi.components.schemas[schema];
  return Object.entries(properties).map(([name, property]) => readField(openapi, name, property));
}

function readField(openapi, name, property) {
  const schema = findSchema(openapi, property);
  const choices = schema.enum || (schema.const === undefined ? null : [schema.const]);
  const kind = choices
    ? "choice"
    : ["integer", "number", "boolean"].includes(schema.type)
      ? schema.type
      : "text";
  return {
    name,
    description: property.description || schema.description || "",
    kind: kind === "boolean" ? "choice" : kind,
    choices: kind === "boolean" ? [true, false] : choices,
    bounds: describeBounds(schema),
    standard: property.default,
  };
}

/** The schema of the value that is not null. */
function findSchema(openapi, property) {
  const alternatives = property.anyOf || property.oneOf || [property];
  const schema = alternatives.find(({ type }) => type !== "null");
  if (!schema.$ref) return schema;
  return schema.$ref
    .split("/")
    .slice(1)
    .reduce((place, key) => place[key], openapi);
}

function describeBounds({ minimum, exclusiveMinimum, maximum, exclusiveMaximum }) {
  const low =
    minimum !== undefined
      ? `at least ${formatNumber(minimum)}`
      : exclusiveMinimum !== undefined
        ? `more than ${formatNumber(exclusiveMinimum)}`
        : "";
  const high =
    maximum !== undefined
      ? `at most ${formatNumber(maximum)}`
      : exclusiveMaximum !== undefined
        ? `less than ${formatNumber(exclusiveMaximum)}`
        : "";
  return [low, high].filter(Boolean).join(", ");
}
