-- Made by hand, in French, orders by status and payments.
CREATE TABLE client (id_client serial PRIMARY KEY, prenom text, nom text, courriel text, telephone text, langue text);
CREATE TABLE produit (id_produit serial PRIMARY KEY, reference text, libelle text, prix_ttc numeric(10,2));
CREATE TABLE commande (id_commande serial PRIMARY KEY, numero_commande text UNIQUE, id_client int, date_commande timestamptz, etat text, montant_total_ht numeric(10,2), montant_total_ttc numeric(10,2), frais_livraison numeric(10,2), devise text, date_maj timestamptz);
CREATE TABLE ligne_commande (id_ligne serial PRIMARY KEY, id_commande int, id_produit int, quantite int, prix_unitaire_ht numeric(10,2), prix_unitaire_ttc numeric(10,2));
CREATE TABLE paiement (id_paiement serial PRIMARY KEY, id_commande int, montant numeric(10,2), date_paiement timestamptz, statut text);
INSERT INTO client (prenom, nom, courriel, langue) SELECT 'Zoe', 'Roy', 'f' || n || '@exemple.fr', 'fr' FROM generate_series(1, 8) n;
INSERT INTO produit (reference, libelle, prix_ttc) SELECT 'REF' || n, 'Bol', 12 FROM generate_series(1, 5) n;
INSERT INTO commande (numero_commande, id_client, date_commande, etat, montant_total_ht, montant_total_ttc, frais_livraison, devise, date_maj) SELECT 'CMD' || 500 + n, 1 + n % 8, timestamptz '2026-05-01Z' + n * interval '1 hour', CASE WHEN n % 4 = 0 THEN 'en attente' ELSE 'payée' END, 10 * (1 + n % 2) + 5, 12 * (1 + n % 2) + 6, 6, 'EUR', now() FROM generate_series(1, 20) n;
INSERT INTO ligne_commande (id_commande, id_produit, quantite, prix_unitaire_ht, prix_unitaire_ttc) SELECT n, 1 + n % 5, 1 + n % 2, 10, 12 FROM generate_series(1, 20) n;
INSERT INTO paiement (id_commande, montant, date_paiement, statut) SELECT n, 12, timestamptz '2026-05-01 00:04Z' + n * interval '1 hour', 'accepté' FROM generate_series(1, 20) n WHERE n % 4 > 0;
CREATE VIEW want_orders AS SELECT o.id_commande AS order_key, p.date_paiement AS confirmed_at, numero_commande AS orderid, courriel AS email, devise AS currency, montant_total_ttc AS totalvalue FROM commande o JOIN client c USING (id_client) JOIN paiement p USING (id_commande);
CREATE VIEW want_lines AS SELECT id_commande AS order_key, p.reference AS id, quantite AS quantity, prix_unitaire_ttc AS price FROM ligne_commande JOIN produit p USING (id_produit);
