import v8 from 'node:v8';

/**
 * Node 20 and 22 abort the whole process (SIGTRAP) when optimised code has inlined a call into
 * WebAssembly that returns a reference and is deoptimised during that call, which every hot use of
 * Cedar does. Without that inlining there is no crash, and no measurable cost.
 */
v8.setFlagsFromString('--no-turbo-inline-js-wasm-calls');

/**
 * Bytes of code that a function of Cedar runs through before V8 optimises it. With its default of
 * 1,800,000 it would optimise, while a broker starts, what only reading policies takes: that costs
 * more than the reading, and gives the first ten decisions three times their time; after some thousand decisions there is no difference (docs/measurements.md).
 */
v8.setFlagsFromString('--wasm-tiering-budget=300000000');
