-- Called when a service starts. One row of the primary key of secrets; takes no lock.
SELECT secret
FROM {schema}.secrets
WHERE name = 'offers'
