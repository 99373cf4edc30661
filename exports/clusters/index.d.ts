// Types of hyperiondb-client/clusters: many clusters as one database.
