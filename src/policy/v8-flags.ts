import v8 from 'node:v8';

/**
 * Node 20 and 22 abort the whole process (SIGTRAP) when optimised code has inlined a call into
 * WebAssembly that returns a reference and is deoptimised during that call, which every hot use of
 * Cedar does. Without that inlining there is no crash, and no measurable cost.
 */
v8.setFlagsFromString('--no-turbo-inline-js-wasm-calls');

/**
 * How much work V8 sees in a function of Cedar before it optimises it: about ten times its default.
 * With the default it optimises, while a broker starts, parts that only reading policies takes:
 * 0.7 s of processor of 2.8. Decisions become no slower by it (docs/measurements.md).
 */
v8.setFlagsFromString('--wasm-tiering-budget=20000000');
