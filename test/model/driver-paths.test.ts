import { runs } from '../support/runs.ts';
import { DRIVER_FAULTS } from './code-faults.ts';
import { DriverPath } from './driver-path.ts';
import { pathSuite } from './path-suite.ts';
import { grounds } from './paths.ts';

const { seed, numRuns } = runs(20_261_128, 1);
const GROUNDS = [
  ...grounds('at once').filter(({ kind }) => !kind.inOrder),
  ...grounds('late').filter(({ kind }) => kind.inOrder),
];

pathSuite({
  end: 'driver',
  grounds: GROUNDS,
  seed,
  numRuns: 100 * numRuns,
  deeper: numRuns > 1 ? 1 : 0,
  make: (settings, kind) => new DriverPath(settings, kind),
  faults: DRIVER_FAULTS,
});
