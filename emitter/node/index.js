'use strict';

const { currentContext } = require('./src/context.js');
const { Emitter } = require('./src/emitter.js');
const { SettingsError } = require('./src/settings.js');

module.exports = { Emitter, SettingsError, currentContext };
