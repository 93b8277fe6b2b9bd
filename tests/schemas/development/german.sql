-- Made by hand, in German: orders named by their number, money as double precision.
CREATE TABLE kunde (id bigint PRIMARY KEY, vorname text, nachname text, email text, telefon text, sprache text);
CREATE TABLE artikel (artikelnr text PRIMARY KEY, bezeichnung text, preis double precision);
CREATE TABLE auftrag (id bigint PRIMARY KEY, auftragsnummer text UNIQUE, kunde_id bigint REFERENCES kunde(id), bestelldatum timestamptz, bezahlt_am timestamptz, versendet_am timestamptz, gesamtbetrag double precision, versandkosten double precision, waehrung text, status text, storniert boolean);
CREATE TABLE auftragsposition (id bigint PRIMARY KEY, auftrag_id bigint REFERENCES auftrag(id), position int, artikelnr text, bezeichnung text, menge int, einzelpreis double precision, gesamtpreis double precision);
CREATE TABLE rechnung (id bigint PRIMARY KEY, rechnungsnummer text, auftrag_id bigint REFERENCES auftrag(id), betrag double precision, datum date);
CREATE TABLE auftrag_archiv (id bigint PRIMARY KEY, auftragsnummer text, kunde_id bigint, gesamtbetrag double precision, bezahlt_am timestamptz);
INSERT INTO kunde SELECT n, 'Uwe', 'Kunz', 'k' || n || '@beispiel.de', '030', 'de' FROM generate_series(1, 10) n;
INSERT INTO artikel SELECT 'ART' || n, 'Tasse ' || n, 7.5 FROM generate_series(1, 5) n;
INSERT INTO auftrag SELECT n, 'AU-' || 1000 + n, 1 + n % 10, timestamptz '2026-05-01Z' + n * interval '1 hour', CASE WHEN n % 3 > 0 THEN timestamptz '2026-05-01 00:09Z' + n * interval '1 hour' END, NULL, 7.5 * (1 + n % 4) + 4.5, 4.5, 'EUR', 'x', false FROM generate_series(1, 20) n;
INSERT INTO auftragsposition SELECT n, n, 1, 'ART' || 1 + n % 5, 'Tasse', 1 + n % 4, 7.5, 7.5 * (1 + n % 4) FROM generate_series(1, 20) n;
INSERT INTO rechnung SELECT n, 'RE-' || n, n, 1, now() FROM generate_series(1, 20) n;
CREATE VIEW want_orders AS SELECT o.id AS order_key, bezahlt_am AS confirmed_at, auftragsnummer AS orderid, email, waehrung AS currency, gesamtbetrag AS totalvalue FROM auftrag o JOIN kunde k ON k.id = kunde_id WHERE bezahlt_am IS NOT NULL;
CREATE VIEW want_lines AS SELECT auftrag_id AS order_key, artikelnr AS id, menge AS quantity, einzelpreis AS price FROM auftragsposition;
