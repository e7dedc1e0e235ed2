import { runs } from '../support/runs.ts';
import { DEVICE_FAULTS } from './code-faults.ts';
import { DevicePath } from './device-path.ts';
import { pathSuite } from './path-suite.ts';
import { grounds } from './paths.ts';

const { seed, numRuns } = runs(20_261_128, 1);
/** A device of ours tells of used buffers at once. */
const GROUNDS = grounds('at once');

pathSuite({
  end: 'device',
  grounds: GROUNDS,
  seed,
  numRuns: 100 * numRuns,
  deeper: numRuns > 1 ? 1 : 0,
  make: (settings, kind) => new DevicePath(settings, kind),
  faults: DEVICE_FAULTS,
});
