// One instance for both module systems: contexts and emitters are shared.
import emitter from './index.js';

export const { Emitter, SettingsError, currentContext } = emitter;
