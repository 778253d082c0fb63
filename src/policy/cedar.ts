import v8 from 'node:v8';
import * as cedar from '@cedar-policy/cedar-wasm/nodejs';

/**
 * The one module that loads Cedar. Node 20 and 22 abort the whole process (SIGTRAP) when optimised
 * code has inlined a call into WebAssembly that returns a reference and is deoptimised during that
 * call, which every hot use of Cedar does. Without that inlining there is no crash, and no
 * measurable cost. The flag is not accepted in NODE_OPTIONS, hence here.
 */
v8.setFlagsFromString('--no-turbo-inline-js-wasm-calls');

export { cedar };
