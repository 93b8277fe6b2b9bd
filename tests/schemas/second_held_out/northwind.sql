-- Northwind-like: nothing is paid, no currency, a composite key of lines, dates only.
CREATE TABLE customers (customer_id varchar(5) PRIMARY KEY, company_name varchar, contact_name varchar, email varchar, city varchar, postal_code varchar, country varchar, phone varchar);
CREATE TABLE employees (employee_id smallint PRIMARY KEY, last_name varchar, first_name varchar, email varchar, hire_date date);
CREATE TABLE products (product_id smallint PRIMARY KEY, product_name varchar, unit_price real, units_in_stock smallint, supplier_id smallint, discontinued int);
CREATE TABLE suppliers (supplier_id smallint PRIMARY KEY, company_name varchar, contact_name varchar, email varchar);
CREATE TABLE orders (order_id smallint PRIMARY KEY, customer_id varchar(5) REFERENCES customers, employee_id smallint REFERENCES employees, order_date date, required_date date, shipped_date date, ship_via smallint, freight real, ship_name varchar, ship_city varchar, ship_postal_code varchar, ship_country varchar);
CREATE TABLE order_details (order_id smallint REFERENCES orders, product_id smallint REFERENCES products, unit_price real NOT NULL, quantity smallint NOT NULL, discount real NOT NULL, PRIMARY KEY (order_id, product_id));
INSERT INTO customers SELECT 'C' || n, 'Firm', 'Ann', 'nw' || n || '@example.com', 'Rome' FROM generate_series(1, 9) n;
INSERT INTO employees VALUES (1, 'Ray', 'Sue', 'sue@shop.example', '2020-01-01');
INSERT INTO products SELECT n, 'Chai', 18, 9, 1, 0 FROM generate_series(1, 6) n;
INSERT INTO orders SELECT n, 'C' || 1 + n % 9, 1, date '2026-05-01' + n, date '2026-06-01', NULL, 1, 4, 'x' FROM generate_series(1, 20) n;
INSERT INTO order_details SELECT n, 1 + n % 6, 18, 1 + n % 4, 0 FROM generate_series(1, 20) n;
CREATE VIEW want_orders AS SELECT o.order_id AS order_key, order_date AS confirmed_at, o.order_id::text AS orderid, email, NULL::text AS currency, (SELECT sum(d.unit_price * quantity)::numeric FROM order_details d WHERE d.order_id = o.order_id) AS totalvalue FROM orders o JOIN customers c USING (customer_id);
CREATE VIEW want_lines AS SELECT order_id AS order_key, product_id::text AS id, quantity, unit_price AS price FROM order_details;
