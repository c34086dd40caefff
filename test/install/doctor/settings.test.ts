import { describe, expect, test } from 'bun:test';
import { OTHER_VARIABLES, unknownSettings } from '../../../src/install/doctor/service.ts';
import { loadConfig } from '../../../src/settings/config.ts';
import { settingsSchema } from '../../../src/settings/settings.ts';

describe('names in the file of the settings', () => {
  test('that are settings, or known beside them, are in order', () => {
    expect(unknownSettings([...Object.keys(settingsSchema.properties), ...OTHER_VARIABLES])).toEqual([]);
  });

  test('that are none are found; those of other programs are not looked at', () => {
    const names = ['AGENT3_TOKEN_FILE', 'AGENT3_PORT', 'HTTP_PROXY', 'AGENT3_MAX_RUNING', 'AGENT3_'];
    expect(unknownSettings(names)).toEqual(['AGENT3_TOKEN_FILE', 'AGENT3_MAX_RUNING', 'AGENT3_']);
  });

  test('are the same to the agent', () => {
    const names = [...OTHER_VARIABLES, ...Object.keys(settingsSchema.properties), 'AGENT3_TOKEN_FILE', 'AGENT3_X'];
    // A setting without text is as good as none.
    const environment = Object.fromEntries(names.map((name) => [name, '']));
    const { unknownNames } = loadConfig({ ...environment, AGENT3_API_TOKEN: 'x'.repeat(43) });
    expect(unknownSettings(names)).toEqual([...unknownNames]);
  });
});
