import type { DetailedError } from '@cedar-policy/cedar-wasm/nodejs';
import type { CatalogueProblem, PolicyFile } from '../catalogue/catalogue.ts';
import { positionOfByte } from './text-position.ts';

/** A fault that Cedar found, as a problem of the file; its places are UTF-8 byte offsets. */
export function cedarProblem(
  source: PolicyFile,
  field: string,
  error: DetailedError,
): CatalogueProblem {
  const [where] = error.sourceLocations ?? [];
  return {
    file: source.file,
    ...positionOfByte(source.text, where?.start ?? 0),
    field,
    problem: plain(error.message),
    remedy: remedyOf(error),
  };
}

/** The field tells which policy it is; Cedar's own prefixes say it again. */
function plain(message: string): string {
  return message
    .replace(/^failed to parse policy (with id `[^`]*` )?from string: /, '')
    .replace(/^for policy `[^`]*`,? ?:? ?/, '');
}

function remedyOf(error: DetailedError): string {
  if (error.message.includes('policy is impossible')) {
    return 'Mend the condition that can never hold, or remove the policy.';
  }
  const labels = (error.sourceLocations ?? []).flatMap((place) => place.label ?? []);
  const said = [error.help, ...labels].filter((text) => typeof text === 'string');
  const text = said.map((part) => plain(part)).join('; ');
  return text ? `${text.charAt(0).toUpperCase()}${text.slice(1)}` : 'Correct the policy.';
}
