-- Made by hand, in Dutch, no foreign keys.
CREATE SCHEMA winkel;
CREATE TABLE winkel.klanten (klantnr serial PRIMARY KEY, voornaam text, achternaam text, emailadres text, telefoon text, taal text, aangemaakt timestamptz);
CREATE TABLE winkel.bestellingen (id serial PRIMARY KEY, bestelnummer text NOT NULL UNIQUE, klantnr int, besteldatum timestamptz NOT NULL, betaald_op timestamptz, status text, totaalbedrag numeric(10,2), verzendkosten numeric(10,2), btw numeric(10,2), valuta char(3), opmerking text, gewijzigd timestamptz);
CREATE TABLE winkel.bestelregels (id serial PRIMARY KEY, bestelling_id int, artikelnummer text, omschrijving text, aantal int, stukprijs numeric(10,2), btw_percentage numeric(4,2));
CREATE TABLE winkel.artikelen (artikelnummer text PRIMARY KEY, naam text, prijs numeric(10,2), voorraad int);
CREATE TABLE winkel.inkooporders (id serial PRIMARY KEY, leverancier_id int, ordernummer text, totaal numeric, datum date);
INSERT INTO winkel.klanten (voornaam, achternaam, emailadres, taal) SELECT 'Piet', 'Jansen', 'k' || n || '@voorbeeld.nl', 'nl' FROM generate_series(1, 10) n;
INSERT INTO winkel.artikelen SELECT 'A-' || n, 'Ding ' || n, n * 2.5, 3 FROM generate_series(1, 9) n;
INSERT INTO winkel.bestellingen (bestelnummer, klantnr, besteldatum, betaald_op, status, totaalbedrag, verzendkosten, btw, valuta, gewijzigd) SELECT 'B2026-' || n, 1 + n % 10, timestamptz '2026-05-01 10:00Z' + n * interval '1 hour', CASE WHEN n % 3 > 0 THEN timestamptz '2026-05-01 10:05Z' + n * interval '1 hour' END, CASE WHEN n % 3 > 0 THEN 'betaald' ELSE 'nieuw' END, 2.5 * (1 + n % 9) * 2 + 3.95, 3.95, 1, 'EUR', now() FROM generate_series(1, 20) n;
INSERT INTO winkel.bestelregels (bestelling_id, artikelnummer, omschrijving, aantal, stukprijs, btw_percentage) SELECT n, 'A-' || 1 + n % 9, 'Ding', 2, 2.5 * (1 + n % 9), 21 FROM generate_series(1, 20) n;
INSERT INTO winkel.inkooporders (leverancier_id, ordernummer, totaal, datum) SELECT 1, 'I' || n, 9, now() FROM generate_series(1, 5) n;
CREATE VIEW want_orders AS SELECT o.id AS order_key, betaald_op AS confirmed_at, bestelnummer AS orderid, emailadres AS email, valuta AS currency, totaalbedrag AS totalvalue FROM winkel.bestellingen o JOIN winkel.klanten k USING (klantnr) WHERE betaald_op IS NOT NULL;
CREATE VIEW want_lines AS SELECT bestelling_id AS order_key, artikelnummer AS id, aantal AS quantity, stukprijs AS price FROM winkel.bestelregels;
