// Before Cedar: V8 looks at its flags when it instantiates a module. NODE_OPTIONS does not take them.
import './v8-flags.ts';
import * as cedar from '@cedar-policy/cedar-wasm/nodejs';

/** The one module that loads Cedar. */
export { cedar };
