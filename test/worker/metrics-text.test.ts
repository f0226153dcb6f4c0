import { describe, expect, it } from 'vitest';
import { type MetricFamily, openMetricsText } from '../../src/metrics/openmetrics.ts';
import { familiesOf, RouteMeter } from '../../src/metrics/requests.ts';
import { parseOpenMetrics, sampleValue } from '../support/openmetrics.ts';

const gauge: MetricFamily = {
  name: 'x',
  type: 'gauge',
  help: 'A help',
  samples: [{ suffix: '', labels: { a: 'b' }, value: 1.5 }],
};

describe('the text', () => {
  it('is OpenMetrics', () => {
    expect(openMetricsText([])).toBe('# EOF\n');
    expect(openMetricsText([gauge])).toBe('# TYPE x gauge\n# HELP x A help\nx{a="b"} 1.5\n# EOF\n');
  });

  it('gives labels and helps back as they were, whatever is in them', () => {
    const odd = 'a"b\\c\nd\\n{},="# EOF';
    const text = openMetricsText([{ ...gauge, help: odd, samples: [{ suffix: '', labels: { odd }, value: 1 }] }]);
    expect(text.split('\n')).toHaveLength(5);
    expect(parseOpenMetrics(text).get('x')?.samples[0]?.labels).toEqual({ odd });
  });
});

describe('the reader of these tests', () => {
  const bucket = (le: string, value: number) => `h_bucket{le="${le}"} ${value}\n`;
  it.each([
    ['no end', '# TYPE x gauge\nx 1\n'],
    ['something after the end', '# TYPE x gauge\nx 1\n# EOF\n\n'],
    ['an empty line', '# TYPE x gauge\n\nx 1\n# EOF\n'],
    ['a sample of no family', 'x 1\n# EOF\n'],
    ['a sample of another family', '# TYPE x gauge\ny 1\n# EOF\n'],
    ['a counter without _total', '# TYPE x counter\nx 1\n# EOF\n'],
    ['a family twice', '# TYPE x gauge\nx 1\n# TYPE x gauge\nx{a="1"} 1\n# EOF\n'],
    ['a name that two families have', '# TYPE x counter\nx_total 1\n# TYPE x_total gauge\nx_total 1\n# EOF\n'],
    ['a sample twice', '# TYPE x gauge\nx{a="1",b="2"} 1\nx{b="2",a="1"} 2\n# EOF\n'],
    ['a unit that is not in the name', '# TYPE x gauge\n# UNIT x seconds\nx 1\n# EOF\n'],
    ['a help after samples', '# TYPE x gauge\nx 1\n# HELP x y\n# EOF\n'],
    ['a label that is not closed', '# TYPE x gauge\nx{a="1} 1\n# EOF\n'],
    ['a quote that is not escaped', '# TYPE x gauge\nx{a="1"2"} 1\n# EOF\n'],
    ['no number', '# TYPE x gauge\nx one\n# EOF\n'],
    ['a negative counter', '# TYPE x counter\nx_total -1\n# EOF\n'],
    ['a histogram without +Inf', `# TYPE h histogram\n${bucket('1.0', 1)}h_count 1\nh_sum 1\n# EOF\n`],
    ['a shrinking histogram', `# TYPE h histogram\n${bucket('1.0', 2)}${bucket('+Inf', 1)}h_count 1\nh_sum 1\n# EOF\n`],
    ['a histogram with another count', `# TYPE h histogram\n${bucket('+Inf', 1)}h_count 2\nh_sum 1\n# EOF\n`],
    [
      'a bound that is not canonical',
      `# TYPE h histogram\n${bucket('1', 1)}${bucket('+Inf', 1)}h_count 1\nh_sum 1\n# EOF\n`,
    ],
    ['metrics in pieces', '# TYPE s stateset\ns{a="1",s="x"} 1\ns{a="2",s="x"} 1\ns{a="1",s="y"} 0\n# EOF\n'],
  ])('refuses %s', (_what, text) => {
    expect(() => parseOpenMetrics(text)).toThrow();
  });
});

describe('what is counted of requests', () => {
  const counted = (note: (meter: RouteMeter) => void) => {
    const meter = new RouteMeter('/v1/contexts/{id}', new Set(['PATCH']));
    note(meter);
    return parseOpenMetrics(openMetricsText(familiesOf([meter])));
  };
  const route = '/v1/contexts/{id}';

  it('is each by method and class of the status', () => {
    const families = counted((meter) => {
      for (const status of [200, 204, 304, 404]) meter.note('GET', new Response(null, { status }), 1);
      meter.note('PATCH', new Response(null, { status: 500 }), 1);
    });
    const requests = (method: string, status: string) =>
      sampleValue(families, 'chittyconnect_requests_total', { method, route, status });
    expect(requests('GET', '2xx')).toBe(2);
    expect(requests('GET', '3xx')).toBe(1);
    expect(requests('GET', '4xx')).toBe(1);
    expect(requests('GET', '5xx')).toBeUndefined();
    expect(requests('PATCH', '5xx')).toBe(1);
  });

  it('is how long they took, in buckets that each have those below', () => {
    const families = counted((meter) => {
      for (const ms of [0, 1, 3, 60_000]) meter.note('GET', new Response(), ms);
    });
    const name = 'chittyconnect_request_duration_seconds';
    const bucket = (le: string) => sampleValue(families, `${name}_bucket`, { method: 'GET', route, le });
    expect(['0.001', '0.002', '0.005', '10.0', '+Inf'].map(bucket)).toEqual([2, 2, 3, 3, 4]);
    expect(sampleValue(families, `${name}_count`, { method: 'GET', route })).toBe(4);
    expect(sampleValue(families, `${name}_sum`, { method: 'GET', route })).toBe(60.004);
    expect(families.get(name)).toMatchObject({ type: 'histogram', unit: 'seconds' });
  });

  it('is what became of commands', () => {
    const families = counted((meter) => {
      meter.note('PATCH', new Response(), 1);
      meter.note('PATCH', new Response(null, { headers: { 'Idempotent-Replayed': 'true' } }), 1);
      for (const status of [409, 412, 503]) meter.note('PATCH', new Response(null, { status }), 1);
      meter.note('GET', new Response(), 1);
    });
    const commands = (outcome: string) =>
      sampleValue(families, 'chittyconnect_commands_total', { method: 'PATCH', route, outcome });
    expect(['accepted', 'replayed', 'refused', 'failed'].map(commands)).toEqual([1, 1, 2, 1]);
    expect(families.get('chittyconnect_commands')?.samples).toHaveLength(4);
  });

  it('has one series for all methods that are made up', () => {
    const families = counted((meter) => {
      for (const method of ['BREW', 'WHEN', 'x"y', 'BREW']) meter.note(method, new Response(null, { status: 405 }), 1);
    });
    const samples = families.get('chittyconnect_requests')?.samples;
    expect(samples).toEqual([
      { name: 'chittyconnect_requests_total', labels: { method: 'other', route, status: '4xx' }, value: 4 },
    ]);
  });
});
