// Loaded into each thread of a program before its own modules: says with what a worker for a device was started.
import { writeSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

if (!isMainThread) writeSync(2, `polls for ${workerData.start.pollUs} us\n`);
