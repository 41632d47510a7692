-- Deletes all data of the shop and of the controls but the clock, and fills the shelves again.
DELETE FROM {schema}.orders;
DELETE FROM {schema}.reservation_lines;
DELETE FROM {schema}.reservations;
DELETE FROM {schema}.stock;
DELETE FROM {schema}.test_faults;
DELETE FROM {schema}.test_counters;
DELETE FROM {schema}.test_events;
DELETE FROM {schema}.test_settings WHERE name <> 'clock';
