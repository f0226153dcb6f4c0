/** A family as a strict reader of OpenMetrics 1.0 takes it from the text. */
export interface ParsedFamily {
  readonly type: string;
  unit: string | null;
  help: string | null;
  readonly samples: ParsedSample[];
}

interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The suffixes that each type's samples may have ("Suffixes" and "Metric Types" of the specification). */
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  histogram: ['_bucket', '_count', '_sum', '_created'],
  info: ['_info'],
  stateset: [''],
  unknown: [''],
};

const DESCRIPTOR = /^# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;

/** Reads OpenMetrics 1.0 text, and throws on whatever the specification does not allow. Timestamps are not taken. */
export function parseOpenMetrics(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n# EOF\n') && text !== '# EOF\n') throw new Error('does not end with # EOF');
  const families = new Map<string, ParsedFamily>();
  const names = new Set<string>();
  let current: { readonly name: string; readonly family: ParsedFamily } | null = null;
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    const [, keyword, name = '', rest = ''] = DESCRIPTOR.exec(line) ?? [];
    if (keyword === 'TYPE') {
      if (families.has(name)) fail('a family that was there before');
      const suffixes = SUFFIXES[rest] ?? fail('no such type');
      for (const suffix of suffixes) {
        if (names.has(name + suffix)) fail('a name that another family has');
        names.add(name + suffix);
      }
      const family = { type: rest, unit: null, help: null, samples: [] };
      families.set(name, family);
      current = { name, family };
    } else if (keyword !== undefined) {
      if (current?.name !== name || current.family.samples.length > 0) fail('out of its place');
      describe(current, keyword, rest, fail);
    } else if (line.startsWith('#')) fail('a comment');
    else {
      if (!current) throw new Error(`a sample of no family: ${line}`);
      current.family.samples.push(parseSample(line, current, fail));
    }
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
}

type Current = { readonly name: string; readonly family: ParsedFamily } | null;
type Fail = (why: string) => never;

function describe(current: Current, keyword: string, text: string, fail: Fail): void {
  const { name, family } = current ?? fail('of no family');
  if (keyword === 'UNIT') {
    if (family.unit !== null) fail('a second unit');
    if (!name.endsWith(`_${text}`)) fail('the name does not end with its unit');
    if (family.type === 'info' || family.type === 'stateset') fail('a type without a unit');
    family.unit = text;
    return;
  }
  if (family.help !== null) fail('a second help');
  if (/\\(?![\\n"])/.test(text.replaceAll('\\\\', ''))) fail('a wrong escape');
  family.help = text;
}

function parseSample(line: string, { name: familyName, family }: NonNullable<Current>, fail: Fail): ParsedSample {
  const [, name = '', labelText, number = ''] = SAMPLE.exec(line) ?? fail('no sample');
  const suffix = name.startsWith(familyName) ? name.slice(familyName.length) : fail('a sample of another family');
  if (!SUFFIXES[family.type]?.includes(suffix)) fail('not a suffix of this type');
  if (!NUMBER.test(number)) fail('no number');
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let rest = labelText ?? ''; LABEL.lastIndex < rest.length; ) {
    const [, label = '', value = '', comma] = LABEL.exec(rest) ?? fail('wrong labels');
    if (comma === ',' && LABEL.lastIndex === rest.length) fail('a comma at the end');
    if (Object.hasOwn(labels, label)) fail('a label twice');
    labels[label] = value.replaceAll(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : character));
    rest = labelText ?? '';
  }
  if (suffix === '_bucket' && !/^(?:\+Inf|\d+\.\d+(?:e[+-]?\d+)?)$/.test(labels.le ?? '')) fail('le is not canonical');
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
  if (family.type === 'stateset' && value !== 0 && value !== 1) fail('a state is 0 or 1');
  if (family.type === 'stateset' && labels[familyName] === undefined) fail('a state without its label');
  if (family.type === 'info' && value !== 1) fail('an info is 1');
  if (['_total', '_count', '_bucket'].includes(suffix) && !(value >= 0)) fail('a count below zero');
  return { name, labels, value };
}

function checkFamily(name: string, { type, samples }: ParsedFamily): void {
  const seen = new Set<string>();
  const closedGroups = new Set<string>();
  let group: string | null = null;
  for (const sample of samples) {
    const key = `${sample.name}${labelKey(sample.labels)}`;
    if (seen.has(key)) throw new Error(`twice: ${key}`);
    seen.add(key);
    const { le, [name]: state, ...own } = sample.labels;
    const metric = labelKey(own);
    if (metric !== group && group !== null) closedGroups.add(group);
    if (closedGroups.has(metric)) throw new Error(`samples of one metric are apart: ${key}`);
    group = metric;
  }
  if (type === 'histogram') for (const metric of groupBy(samples).values()) checkHistogram(name, metric);
}

function groupBy(samples: readonly ParsedSample[]): Map<string, ParsedSample[]> {
  const groups = new Map<string, ParsedSample[]>();
  for (const sample of samples) {
    const { le, ...own } = sample.labels;
    const key = labelKey(own);
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  return groups;
}

function checkHistogram(name: string, samples: readonly ParsedSample[]): void {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => (labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)));
  if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name} has no +Inf bucket at its end`);
  for (let index = 1; index < buckets.length; index++) {
    if (!((bounds[index] ?? 0) > (bounds[index - 1] ?? 0))) throw new Error(`${name}: buckets are not in order`);
    if ((buckets[index]?.value ?? 0) < (buckets[index - 1]?.value ?? 0)) throw new Error(`${name}: buckets shrink`);
  }
  const count = samples.find((sample) => sample.name === `${name}_count`);
  if (count?.value !== buckets.at(-1)?.value) throw new Error(`${name}: _count is not the +Inf bucket`);
  if (!samples.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name} has no _sum`);
}

function labelKey(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort());
}

/** The value of one sample; undefined when there is none. */
export function sampleValue(
  families: ReadonlyMap<string, ParsedFamily>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const all = [...families.values()].flatMap(({ samples }) => samples);
  return all.find((sample) => sample.name === name && labelKey(sample.labels) === labelKey(labels))?.value;
}
