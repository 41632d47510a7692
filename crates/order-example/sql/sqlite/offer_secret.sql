-- Called when a service starts. One row of the primary key of secrets; takes no lock.
SELECT secret
FROM secrets
WHERE name = 'offers'
