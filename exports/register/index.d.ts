// Types of hyperiondb-client/register: it is loaded for its effect, and exports nothing.

export {};
