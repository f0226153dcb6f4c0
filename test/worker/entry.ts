export * from '../../src/worker.ts';
export { default } from '../../src/worker.ts';
export { CounterObject } from '../support/counter.ts';
