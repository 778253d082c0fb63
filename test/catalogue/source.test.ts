import { describe, expect, test } from '@jest/globals';
import { openCatalogue } from '../../src/catalogue/source.ts';
import { compileCatalogue } from '../policy/compiled.ts';
import { apply, load, withEdited } from './edited-catalogue.ts';

async function open(folder: string) {
  const opened = await openCatalogue({ load: () => load(folder), compile: compileCatalogue });
  if (!opened.ok) throw new Error(JSON.stringify(opened.problems));
  return opened.live;
}

const limits = { file: 'limits.yaml', from: 'sweep_batch: 200', to: 'sweep_batch: 100' };

describe('a reload', () => {
  test('puts catalogue and policies in force together', async () => {
    await withEdited([], async (folder) => {
      const live = await open(folder);
      const before = { hash: live.current().hash, engine: live.compiled() };
      await apply(folder, limits);
      expect(live.current().limits.sweep_batch).toBe(200);
      expect(await live.reload()).toMatchObject({ ok: true, changed: true });
      expect(live.current().limits.sweep_batch).toBe(100);
      expect(live.current().hash).not.toBe(before.hash);
      expect(live.compiled()).not.toBe(before.engine);
    });
  });

  test('says when nothing changed', async () => {
    await withEdited([], async (folder) => {
      const live = await open(folder);
      expect(await live.reload()).toMatchObject({ ok: true, changed: false });
    });
  });

  test.each([
    ['an entry', { file: 'agents/report-writer.yaml', from: 'owner:', to: 'ownr:' }],
    ['a policy', { file: 'policies/reports-read.cedar', from: 'context.actions', to: 'context.x' }],
  ])('with a fault in %s leaves the old set in force', async (_what, fault) => {
    await withEdited([], async (folder) => {
      const live = await open(folder);
      const before = { catalogue: live.current(), engine: live.compiled() };
      await apply(folder, limits);
      await apply(folder, fault);
      const reloaded = await live.reload();
      expect(reloaded).toMatchObject({ ok: false });
      expect(reloaded.ok ? [] : reloaded.problems[0]?.file).toBe(fault.file);
      expect(live.current()).toBe(before.catalogue);
      expect(live.compiled()).toBe(before.engine);
    });
  });

  test('works again once the fault is mended', async () => {
    await withEdited([], async (folder) => {
      const live = await open(folder);
      await apply(folder, { file: 'limits.yaml', from: 'sweep_batch: 200', to: 'sweep_batch: x' });
      expect((await live.reload()).ok).toBe(false);
      await apply(folder, { file: 'limits.yaml', from: 'sweep_batch: x', to: 'sweep_batch: 7' });
      expect((await live.reload()).ok).toBe(true);
      expect(live.current().limits.sweep_batch).toBe(7);
    });
  });

  test('that overlaps another runs after it, so that the later files win', async () => {
    await withEdited([], async (folder) => {
      let [reading, most] = [0, 0];
      const opened = await openCatalogue({
        async load() {
          most = Math.max(most, (reading += 1));
          const loaded = await load(folder);
          reading -= 1;
          return loaded;
        },
        compile: compileCatalogue,
      });
      if (!opened.ok) throw new Error('does not open');
      await apply(folder, limits);
      const answers = await Promise.all([opened.live.reload(), opened.live.reload()]);
      expect(answers.map((answer) => answer.ok && answer.changed)).toEqual([true, false]);
      expect(most).toBe(1);
    });
  });
});

test('a catalogue with a fault does not open', async () => {
  const fault = { file: 'limits.yaml', from: 'sweep_batch', to: 'sweep_bach' };
  const opened = await withEdited([fault], (folder) =>
    openCatalogue({ load: () => load(folder), compile: compileCatalogue }),
  );
  expect(opened).toMatchObject({ ok: false, problems: [{ file: 'limits.yaml' }] });
});
