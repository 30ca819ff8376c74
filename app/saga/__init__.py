"""The saga language: what a developer writes, and what the rest of Surefoot reads of it.

Hazard: a long job touches services that have no transaction in common. When its fourth step fails,
the first three have happened; a worker that dies leaves everybody in doubt; and the code that could
tell is gone with its process.

Answer: the developer declares the job before it runs. A `Saga` is a graph of steps; each says what
undoes it and how well (`fidelity`), or that it has no effect, or that there is no way back. From
that, and from nothing else, the engine knows what may run side by side, what must be undone in
which order, and where the point of no return (the pivot) is.

    trip = Saga("trip", version=1, input=TripRequest, sla="10m")

    @trip.step(lane="hotels")
    def book_hotel(ctx, o: TripRequest) -> Booked: ...

    @book_hotel.compensate(fidelity="exact")
    def cancel_hotel(ctx, o, booked: Booked | None): ...

What is read of it is a `Graph`: plain data with a digest, pinned to each job and kept in the
catalogue, so that web and relay serve sagas whose code they do not have.

Left to the developer: that a step's effect carries `ctx.key`, so that the same key is the same
effect (`barrier` does it for a service with a database), and that an undo may come for an action
whose result was never learnt, or that never ran.

Where to read: `definition` and `step` (what is declared), `lint` (what must be true of it),
`assembly` (the graph), `calls` (how a function is called), `inputs` (what a job may be asked with).
No module here does I/O; none knows Celery.
"""
