/** What a family's samples mean (OpenMetrics 1.0, "Metric Types"); those that are used here. */
type MetricType = 'counter' | 'gauge' | 'histogram' | 'info' | 'stateset';

/** One value. */
export interface Sample {
  /** What follows the family's name, such as `_total`; the type says which there are. */
  readonly suffix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All samples of one name. A family of which nothing is known has none. */
export interface MetricFamily {
  readonly name: string;
  readonly type: MetricType;
  /** The last word of the name, where it is a unit. */
  readonly unit?: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** The media type of the text. */
export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/** Writes families as OpenMetrics 1.0 text. Each family's name may occur once, each of its label sets once per suffix. */
export function openMetricsText(families: readonly MetricFamily[]): string {
  return `${families.map(familyText).join('')}# EOF\n`;
}

function familyText({ name, type, unit, help, samples }: MetricFamily): string {
  const lines = [`# TYPE ${name} ${type}`];
  if (unit !== undefined) lines.push(`# UNIT ${name} ${unit}`);
  lines.push(`# HELP ${name} ${escaped(help)}`);
  for (const { suffix, labels, value } of samples) {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    lines.push(`${name}${suffix}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}`);
  }
  return `${lines.join('\n')}\n`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

/**
 * The samples of one histogram of durations.
 *
 * @param boundsMs the upper bounds of the buckets, in milliseconds; the last bucket has none
 * @param buckets how many durations there were by bucket, each in one
 */
export function histogramSamples(
  labels: Readonly<Record<string, string>>,
  boundsMs: readonly number[],
  buckets: readonly number[],
  sumMs: number,
): Sample[] {
  let count = 0;
  const samples = buckets.map((inBucket, index): Sample => {
    count += inBucket;
    const boundMs = boundsMs[index] ?? Number.POSITIVE_INFINITY;
    return { suffix: '_bucket', labels: { ...labels, le: canonicalNumber(boundMs / 1000) }, value: count };
  });
  return [...samples, { suffix: '_count', labels, value: count }, { suffix: '_sum', labels, value: sumMs / 1000 }];
}

/** A number in the canonical form that `le` labels have: whole numbers with `.0`. */
function canonicalNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
