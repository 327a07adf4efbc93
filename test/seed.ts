import fc from 'fast-check';

// The same properties are tried in every run, so that a failure is a change's own; FC_SEED=… tries others.
fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 1) });
