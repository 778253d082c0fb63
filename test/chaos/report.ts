import type { ChaosReport } from './chaos.ts';
import { OUT_OF_REACH, POINTS } from './recipes.ts';
import { fewest, killsOf, sum } from './tally.ts';

/** The report as people read it. */
export function renderReport(report: ChaosReport): string {
  const { tally, longest, triedAtEnd, comparisons } = report;
  const worst = (of: (one: ChaosReport['comparisons'][number]) => number) =>
    Math.max(0, ...comparisons.map(of));
  const lines: (readonly [string, string | number])[] = [
    ['seed', tally.seed],
    ['kills', `${killsOf(tally)} (${sum(tally.kills)} at fail points)`],
    [
      'kills of the fail point with fewest',
      `${fewest(tally)} (of ${POINTS.length} points; ${OUT_OF_REACH.length} more are never come to)`,
    ],
    ['frozen at fail points', sum(tally.stops)],
    ['minutes', (tally.seconds / 60).toFixed(1)],
    ['seconds a kill', (tally.seconds / Math.max(1, killsOf(tally))).toFixed(2)],
    ['leases opened', tally.leasesOpened],
    ['credentials handed out', tally.handed],
    [
      'credentials that work at the end',
      `${triedAtEnd.works} of ${triedAtEnd.refused + triedAtEnd.works + triedAtEnd.unknown} tried`,
    ],
    [
      'logins tried right after an ending',
      `${report.triedOnTheWay['refused'] ?? 0} refused, ${report.triedOnTheWay['in'] ?? 0} let in`,
    ],
    ['comparisons of the three books', comparisons.length],
    [
      'users unknown, before / after',
      `${worst((one) => one.before.usersUnknown)} / ${worst((one) => one.after.usersUnknown)} (worst)`,
    ],
    [
      'leases of OpenBao unknown, before / after',
      `${worst((one) => one.before.leasesUnknown)} / ${worst((one) => one.after.leasesUnknown)} (worst)`,
    ],
    [
      'active without user or lease, before / after',
      `${worst((one) => one.before.withoutUser + one.before.withoutLease)} / ${worst((one) => one.after.withoutUser + one.after.withoutLease)} (worst)`,
    ],
    ['planted for the reconciler, left before', worst((one) => one.planted)],
    ['leases stuck without a reason', worst((one) => one.stuck)],
    ['seconds until the books were clean', worst((one) => one.seconds).toFixed(0)],
    [
      'session past its deadline, longest',
      `${seconds(longest.sessionMs)} (${seconds(longest.sessionOwnMs)} without outages)`,
    ],
    [
      'role past its deadline, longest',
      `${seconds(longest.roleMs)} (${seconds(longest.roleOwnMs)} without outages)`,
    ],
    ['looks at the target', report.looks],
    ['violations', report.violations.length],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return [
    ...lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    '',
    `${'fail point'.padEnd(44)} kills  stops  missed`,
    ...POINTS.map((point) =>
      [
        point.padEnd(44),
        ...[tally.kills, tally.stops, tally.missed].map((of) => String(of[point] ?? 0).padStart(5)),
      ].join('  '),
    ),
    '',
    ...Object.entries(tally.random)
      .sort()
      .map(([what, times]) => `${what.padEnd(44)} ${String(times).padStart(5)}`),
    '',
    'errors in the logs of brokers',
    ...Object.entries(report.errors)
      .sort(([, one], [, other]) => other - one)
      .map(([what, times]) => `${String(times).padStart(5)}  ${what}`),
    ...report.violations.map(({ at, what, detail }) => `VIOLATION ${at} ${what}: ${detail}`),
  ].join('\n');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
