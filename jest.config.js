import { readFileSync, statfsSync } from 'node:fs';

/** Bytes. What all servers of a run have in data at a time, several times over. */
const ROOM_FOR_SERVERS = 4 * 1024 ** 3;

// A third of what a new Postgres costs is files that nobody keeps, and each commit of OpenBao waits
// for the disk. Workers inherit this, and `tmpdir()` goes by it.
if (process.env.TMPDIR === undefined && isRoomy('/dev/shm')) {
  process.env.TMPDIR = '/dev/shm';
}

/** Whether a file system in memory is mounted there that can hold the servers, and run them. */
function isRoomy(path) {
  try {
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .find(([, where]) => where === path);
    const { bavail, bsize } = statfsSync(path);
    return mount !== undefined && !mount[3].includes('noexec') && bavail * bsize > ROOM_FOR_SERVERS;
  } catch {
    return false;
  }
}

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
      },
    ],
  },
  testSequencer: '<rootDir>/test/longest-first.mjs',
  // Most of them wait for servers and deadlines: more than two cores' worth.
  maxWorkers: 5,
  testTimeout: 30_000,
  collectCoverageFrom: ['src/**/*.ts'],
  coverageProvider: 'babel',
};
