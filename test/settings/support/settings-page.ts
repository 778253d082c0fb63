import { SETTINGS_TABLE } from '../../../src/settings/settings-table.ts';

/** The sections of docs/settings.md, drawn from the code's table. */
export function settingsPage(): string {
  return SETTINGS_TABLE.map(({ title, settings }) => {
    const rows = settings.map(({ name, secret, meaning, default: fallback }) => {
      const names = secret ? `\`${name}\`, \`${name}_FILE\`` : `\`${name}\``;
      return `| ${names} | ${fallback === undefined ? '' : `\`${fallback}\``} | ${meaning} |`;
    });
    return `## ${title}\n\n| Setting | Default | Meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
  }).join('\n');
}
