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
MAX_CHUNKS_BODY = 80 * MIB  # POST /sync/chunks: every hash a node may ask for, and room
MAX_BLOBS_JSON = 32 * MIB  # POST /blobs/check and /blobs/commit
MAX_RECIPES = 16 * MIB  # POST /blobs/recipes
MAX_RENAME_JSON = 64 * KIB
MAX_LOGIN_JSON = 4 * KIB  # POST /auth/token and /auth/refresh: anybody may send them
MAX_PATCH = 10 * MIB  # a merge patch; the document before and after it
MAX_BODY = 10 * GIB  # PUT /files
MAX_FETCH_BODY = 16 * MIB  # POST /files/fetch: every path, and room
MAX_ERROR_BODY = 64 * KIB  # of an answer we only read to say what went wrong

# Lists in one request or answer
MAX_FILTERS = 100
MAX_CHUNK_HASHES = 1_000_000  # AeorDB nodes ask for all of a file at once
MAX_COPIES = 1_000
MAX_FETCH_ITEMS = 10_000
MAX_FETCH = 256 * MIB  # bytes of the files in one POST /files/fetch
MAX_DOWNLOAD = 2 * GIB  # bytes of the files in one archive
MAX_DOWNLOAD_ENTRIES = 100_000  # of one archive, whose index has to be kept till its end
MAX_COMMIT = 10_000  # changes of one POST /blobs/commit
MAX_PAGE = 10_000  # entries of a listing or a diff

# Frames
MAX_FRAME = 8 * MIB
MAX_PAGE_BYTES = 2 * MAX_FRAME  # of the entries of one page
FRAME_COST = 128  # bytes a frame counts for besides its payload: an empty one takes memory, too

# Offers
MAX_LACKING = 8_192  # chunks asked for at a time
MAX_OFFERERS = 64  # nodes whose chunks are waited for at a time

# Connections
MAX_CONNECTIONS = 4_096
MAX_STREAMS = 3_000  # of events, to others than peers; so connections are left for requests
MAX_WAITING = 16  # requests behind the one that is being answered
MAX_HEAD = 64 * KIB  # request line and fields; trailers likewise
MAX_FIELDS = 200

# Headers, characters
MAX_HEADER = 16 * KIB
MAX_ETAGS = 64
MAX_CONTENT_TYPE = 255

# Trees and links
MAX_LINK_HOPS = 32
MAX_DEPTH = 256  # of a listing

# Rates
MAX_LOGINS = 30  # per key, in LOGIN_WINDOW_S
MAX_ADDRESS_LOGINS = 300  # per socket address, in LOGIN_WINDOW_S
LOGIN_WINDOW_S = 60
