-- Called by the demo to remove what it made. Takes exclusive locks on everything in the schema.
DROP SCHEMA IF EXISTS {schema} CASCADE
