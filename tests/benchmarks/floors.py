"""Floors: the cost of the same work without records, checks and guarantees.

`pipe`: PostgreSQL builds the JSON from the tables themselves, one connection streams
it, some threads POST the bytes. `loop`: a plain script with psycopg and requests, one
POST after the other, its watermark the highest id (it loses late commits).
`post_notifications`: each order's commit sends its event in a NOTIFY, a script POSTs
it.
"""

import http.client
import queue
import threading
import time
from urllib.parse import urlsplit

import psycopg
import requests

_BODIES = """
SELECT (SELECT string_agg(
                 json_build_object(
                   'event', 'Purchase', 'email', o.email, 'orderid', o.number,
                   'timestamp', o.confirmed_at, 'currency', o.currency,
                   'totalvalue', o.total, 'products',
                   (SELECT json_agg(
                             json_build_object(
                               'id', i.sku, 'name', i.title, 'quantity', i.quantity,
                               'price', i.unit_price))
                      FROM order_lines AS i
                     WHERE i.order_id = o.id))::text, ',')
          FROM orders AS o
         WHERE o.id >= s.first
           AND o.id < s.first + {batch})
  FROM generate_series(1, {orders}, {batch}) AS s (first)
"""
_PAGE = """
SELECT p.order_key, p.orderid, p.email, p.currency, p.totalvalue::float8, p.products,
       o.confirmed_at
  FROM syncd.purchases AS p
  JOIN orders AS o ON o.id = p.order_key
 WHERE o.id > %s
   AND o.confirmed_at IS NOT NULL
 ORDER BY o.id
 LIMIT %s
"""


def pipe(dsn: str, endpoint: str, *, orders: int, batch: int, in_flight: int) -> None:
    """Send every order once, with the bytes that PostgreSQL made."""
    bodies: queue.Queue[bytes | None] = queue.Queue(in_flight * 2)
    threads = [
        threading.Thread(target=_post_all, args=(endpoint, bodies))
        for _ in range(in_flight)
    ]
    for thread in threads:
        thread.start()
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        query = _BODIES.format(orders=orders, batch=batch).encode()
        for (text,) in cursor.stream(query):
            bodies.put(b'{"events":[%s]}' % text.encode())
    for _ in threads:
        bodies.put(None)
    for thread in threads:
        thread.join()


def _post_all(endpoint: str, bodies: "queue.Queue[bytes | None]") -> None:
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.netloc)
    while (body := bodies.get()) is not None:
        _post(connection, parts.path, body)
    connection.close()


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200


def loop(dsn: str, endpoint: str, *, batch: int) -> None:
    """Send every order once, as a naive script would."""
    session = requests.Session()
    last = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while rows := connection.execute(_PAGE, (last, batch)).fetchall():
            events = [
                {
                    "event": "Purchase",
                    "orderid": orderid,
                    "email": email,
                    "currency": currency,
                    "totalvalue": total,
                    "products": products,
                    "timestamp": confirmed_at.isoformat(timespec="seconds"),
                }
                for _, orderid, email, currency, total, products, confirmed_at in rows
            ]
            session.post(endpoint, json={"events": events}).raise_for_status()
            last = rows[-1][0]


def post_notifications(
    dsn: str, endpoint: str, stop: threading.Event, ready: threading.Event
) -> None:
    """POST each event that a NOTIFY on the channel `floor` brings, until the stop."""
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.netloc)
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN floor")
        ready.set()
        while not stop.is_set():
            for notice in listener.notifies(timeout=0.2, stop_after=1):
                _post(connection, parts.path, notice.payload.encode())
    connection.close()


def timed(action: "threading.Thread") -> float:
    """Run a thread to its end; return the seconds."""
    began = time.monotonic()
    action.start()
    action.join()
    return time.monotonic() - began
