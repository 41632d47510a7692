-- Deletes all data of the shop and of the controls but the secret and the clock, and fills the shelves again.
DELETE FROM {schema}.payments;
DELETE FROM {schema}.orders;
DELETE FROM {schema}.payers;
DELETE FROM {schema}.offers;
DELETE FROM {schema}.carts;
DELETE FROM {schema}.reservation_lines;
DELETE FROM {schema}.reservations;
DELETE FROM {schema}.stock;
DELETE FROM {schema}.test_faults;
DELETE FROM {schema}.test_counters;
DELETE FROM {schema}.test_events;
DELETE FROM {schema}.test_settings WHERE name <> 'clock';
INSERT INTO {schema}.stock (sku, available, price, currency)
VALUES ('TEA', 1000000, 1000, 'RUB'), ('CUP', 1000, 2500, 'RUB'), ('SAMOVAR', 1, 990000, 'RUB');
