"""Whole clusters in one process and one thread, on a clock, disks and a network of our own.

a schedule (data)  ->  a run  ->  what the history says must be, against what is

chance      every random number of the package comes from the schedule's seed
loop        the event loop: virtual time, and nothing else decides what runs next
crew        blocking work, done by the one thread there is
disk        a store that dies where it is told to, and keeps what was durable
history     the oracle: remembers every version and what its writer had really seen
wire        one node's face to another, with faults
small       little clusters, driven step by step
making      schedules out of a seed
shrinking   the smallest part of a schedule that still fails
"""
