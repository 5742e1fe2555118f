"""Every size and count both ends of a connection enforce.

Sizes are bytes unless said otherwise. A limit is the largest value allowed.
"""

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

# Chunks and files
MAX_CHUNK = 262_144
MAX_FILE = 10 * GIB
MAX_FILE_CHUNKS = 1_000_000  # more than a file of MAX_FILE has at the smallest usual chunk

# Bodies
MAX_JSON = MIB  # where nothing else is said
MAX_BLOBS_JSON = 32 * MIB  # /blobs/check, /blobs/commit
MAX_SYNC_JSON = 64 * MIB  # an answer of /sync/diff or /sync/chunks, as we read it
MAX_RENAME_JSON = 64 * KIB
MAX_MERGE_PATCH = 10 * MIB
MAX_BODY = 10 * GIB  # PUT /files
MAX_ERROR_BODY = 64 * KIB  # of an answer we only read to say what went wrong

# Lists in one request or answer
MAX_FILTERS = 100
MAX_CHUNK_HASHES = 10_000
MAX_CHECK_HASHES = 100_000
MAX_COMMIT_FILES = 10_000
MAX_FETCH_ITEMS = 10_000
MAX_FETCH = 256 * MIB
MAX_PAGE = 10_000  # entries of a listing or a diff

# Frames
MAX_FRAME = 8 * MIB
MAX_FRAME_ENTRIES = 10_000

# Headers, characters
MAX_HEADER = 16 * KIB
MAX_ETAGS = 64
MAX_CONTENT_TYPE = 255

# Trees and links
MAX_LINK_HOPS = 32
MAX_DEPTH = 256  # of a listing

# Rates
MAX_LOGINS = 30  # per key and per address, in LOGIN_WINDOW_S
LOGIN_WINDOW_S = 60

# Tokens, seconds
TOKEN_LIFE_S = 604_800
PEER_TOKEN_LIFE_S = 300
