/// placeholder
pub struct RedisStore;
