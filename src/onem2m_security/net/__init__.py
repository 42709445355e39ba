"""The only floor with sockets: asyncio shells around the sans-IO core."""
