// TypeScript is read in this thread alone: ragpress's worker threads run what is published, as they do for its users.
import { register } from 'tsx/esm/api';

register();
await import('./run.ts');
