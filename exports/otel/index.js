'use strict';

// hyperiondb-client/otel: spans and metrics for OpenTelemetry. Names only; index.d.ts says what each does.

const { instrument } = require('./instrument.js');

module.exports = { instrument };
