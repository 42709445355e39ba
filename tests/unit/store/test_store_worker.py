"""One convention of errors in the store's thread: what a job raises is its own, and nobody else's."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import create_engine, text

from onem2m_security.errors import AuthenticationError, CredentialError, RecordCorruptedError
from onem2m_security.store.worker import Worker, outcome_of


@pytest.fixture
async def worker(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'db'}", connect_args={"isolation_level": None})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE written (name TEXT)"))
    worker = Worker(engine, patience=5.0)
    yield worker
    await worker.close()


def write(connection, name, refusal=None):
    connection.execute(text("INSERT INTO written VALUES (:name)"), {"name": name})
    if refusal is not None:
        raise refusal
    return name


def written(connection):
    return list(connection.execute(text("SELECT name FROM written ORDER BY name")).scalars())


async def test_a_job_that_raises_after_it_wrote_undoes_its_own_writing_and_no_other(worker):
    refusal = AuthenticationError("refused")
    jobs = [partial(write, name=name, refusal=refusal if name == "c" else None) for name in "abcde"]
    results = await asyncio.gather(*map(worker.write, jobs), return_exceptions=True)
    assert results == ["a", "b", refusal, "d", "e"]
    assert await worker.read(written) == ["a", "b", "d", "e"]


async def test_each_who_asked_for_many_together_hears_of_its_own_error_of_whatever_sort(worker):
    def answer(name):
        if name in errors:
            raise errors[name]
        return name.upper()

    def handler(_, names):
        return [outcome_of(answer, name) for name in names]

    errors = {"b": AuthenticationError("b"), "c": CredentialError("c"), "d": RecordCorruptedError("d")}
    first, *others = [worker.submit(handler, name, write=True) for name in "abcd"]
    assert await first == "A"
    for asked, error in zip(others, errors.values(), strict=True):
        with pytest.raises(type(error), match=f"^{error}$"):  # raised, not given as a result
            await asked


async def test_what_a_reader_raises_is_its_own(worker):
    def fail(_):
        raise RecordCorruptedError("one row")

    results = await asyncio.gather(worker.read(written), worker.read(fail), return_exceptions=True)
    assert results[0] == []
    assert isinstance(results[1], RecordCorruptedError)
