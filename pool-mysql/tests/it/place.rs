//! Servers that tests share, and what tests ask them behind the pool's back.
//!
//! With `POOL_TEST_MYSQL_URL` (`mysql://root:secret@host:3306`, an account that may do everything)
//! the shared server is that one, so that the same tests run against MySQL.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pool_mysql::mysql_async::prelude::{FromRow, Queryable};
use pool_mysql::mysql_async::{Conn, Opts};
use pool_mysql::{MySqlBuilder, MySqlConnection, MySqlPool};
use pool_testkit::servers::MariaDb;
use tokio::sync::Mutex;

/// The server that most tests share: nothing they do to it lasts.
pub(crate) fn shared() -> &'static str {
    static SERVER: OnceLock<(String, Option<MariaDb>)> = OnceLock::new();
    let start = || match std::env::var("POOL_TEST_MYSQL_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let server = MariaDb::builder().setting("max_connections", "400");
            let server = server.start().expect("MariaDB starts");
            (root(&server), Some(server))
        }
    };
    &SERVER.get_or_init(start).0
}

/// The same with TLS, which takes `ssl-mode=required` to be used for sure.
pub(crate) fn shared_with_tls() -> &'static str {
    static SERVER: OnceLock<(String, MariaDb)> = OnceLock::new();
    let start = || {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let server = MariaDb::builder()
            .file("server.crt", signed.cert.pem())
            .file("server.key", signed.signing_key.serialize_pem())
            .setting("ssl-cert", "../server.crt")
            .setting("ssl-key", "../server.key")
            .setting("max_connections", "400");
        let server = server.start().expect("MariaDB starts");
        (root(&server), server)
    };
    &SERVER.get_or_init(start).0
}

/// The superuser's way to a server.
pub(crate) fn root(server: &MariaDb) -> String {
    format!("mysql://root@{}", server.address())
}

/// Where a server is, by its superuser's URL.
pub(crate) fn address(root: &str) -> SocketAddr {
    let address = root.rsplit(['@', '/']).next().unwrap();
    address.to_socket_addrs().unwrap().next().unwrap()
}

/// Whether the session is in a transaction, as the server sees it.
pub(crate) async fn in_transaction(connection: &mut MySqlConnection) -> bool {
    if connection.server().is_mariadb {
        return connection.query_first("SELECT @@in_transaction").await.unwrap().unwrap();
    }
    // What is refused within one.
    let set = connection.query_drop("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await;
    set.is_err_and(|error| error.code() == Some(1568))
}

/// All slots are there: as many connections as there may be can be held at once, and each gives the
/// right answer.
pub(crate) async fn is_whole(pool: &MySqlPool) {
    let mut held = Vec::new();
    for nonce in 0..pool.snapshot().max_size {
        let mut connection = crate::soon(pool.acquire()).await.unwrap();
        let answer = connection.exec_first("SELECT ?", (nonce,));
        assert_eq!(crate::soon(answer).await.unwrap(), Some(nonce));
        held.push(connection);
    }
}

/// A place of one's own on a server: a user, who tells its connections apart, and a database.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) name: String,
    admin: Mutex<Conn>,
    pub(crate) is_mariadb: bool,
}

impl Place {
    /// On the shared server.
    pub(crate) async fn new() -> Self {
        Self::on(shared()).await
    }

    /// On a server, by its superuser's URL.
    pub(crate) async fn on(root: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        let mut admin =
            Conn::new(Opts::from_url(&format!("{root}/mysql?prefer_socket=false")).unwrap())
                .await
                .unwrap();
        for sql in [
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("CREATE DATABASE {name}"),
            format!("CREATE USER {name}@'%'"),
            format!("GRANT ALL ON {name}.* TO {name}@'%'"),
            format!("GRANT PROCESS ON *.* TO {name}@'%'"),
        ] {
            admin.query_drop(sql).await.unwrap();
        }
        let address = root.rsplit(['@', '/']).next().unwrap();
        let url = format!("mysql://{name}@{address}/{name}");
        let version: String = admin.query_first("SELECT VERSION()").await.unwrap().unwrap();
        let is_mariadb = version.contains("MariaDB");
        Self { url, name, admin: Mutex::new(admin), is_mariadb }
    }

    /// The same, by another address: a proxy's.
    pub(crate) fn through(mut self, address: impl std::fmt::Display) -> Self {
        self.url = format!("mysql://{0}@{address}/{0}", self.name);
        self
    }

    /// The same, with a parameter of the URL.
    pub(crate) fn with(mut self, parameter: &str) -> Self {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        self.url = format!("{}{mark}{parameter}", self.url);
        self
    }

    pub(crate) fn builder(&self) -> MySqlBuilder {
        MySqlPool::builder(&self.url).unwrap().max_size(4)
    }

    /// A pool of one connection, which the next user gets for certain.
    pub(crate) async fn one(&self) -> MySqlPool {
        self.builder().max_size(1).build().await.unwrap()
    }

    /// Asks the server as its superuser.
    pub(crate) async fn ask<T: FromRow + Send + 'static>(&self, sql: &str) -> T {
        let sql = self.processes(sql);
        self.admin.lock().await.query_first(sql).await.unwrap().expect("a row")
    }

    /// The same question, of the list of processes that is right on this server: MySQL's own
    /// of this name fails while anybody's statement has a character of four bytes (error 3854), and
    /// MariaDB has no other.
    fn processes(&self, sql: &str) -> String {
        let of = if self.is_mariadb { "information_schema" } else { "performance_schema" };
        sql.replace("information_schema.processlist", &format!("{of}.processlist"))
    }

    /// Tells the server as its superuser.
    pub(crate) async fn tell(&self, sql: &str) {
        self.admin.lock().await.query_drop(sql).await.unwrap();
    }

    /// Ends a connection, and waits until it is gone.
    pub(crate) async fn kill(&self, id: u32) {
        self.tell(&format!("KILL {id}")).await;
        let gone = "SELECT 1 FROM information_schema.processlist";
        self.until(&format!("NOT EXISTS ({gone} WHERE id = {id})")).await;
    }

    /// Ends so many connections, whatever they do.
    pub(crate) async fn kill_some(&self, many: u32) {
        let of = format!("FROM information_schema.processlist WHERE user = '{}'", self.name);
        let sql = self.processes(&format!("SELECT id {of} LIMIT {many}"));
        let mut admin = self.admin.lock().await;
        let ids: Vec<u32> = admin.query(sql).await.unwrap();
        for id in ids {
            // An error says that it is gone already.
            let _ = admin.query_drop(format!("KILL {id}")).await;
        }
    }

    /// How many connections the server counts here.
    pub(crate) async fn connections(&self) -> usize {
        let of = format!("FROM information_schema.processlist WHERE user = '{}'", self.name);
        self.ask(&format!("SELECT count(*) {of}")).await
    }

    /// Waits until the server agrees.
    pub(crate) async fn until(&self, condition: &str) {
        let sql = condition.replace("mine", &format!("user = '{}'", self.name));
        for _ in 0..300 {
            if self.ask(&format!("SELECT {sql}")).await {
                return;
            }
            // The tables of InnoDB show what they showed to whoever asked within the last 0.1 s.
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        panic!("never: {condition}");
    }

    /// Waits until nothing of this place's runs or holds a lock.
    pub(crate) async fn until_quiet(&self) {
        let running = "SELECT 1 FROM information_schema.processlist WHERE mine \
                       AND command <> 'Sleep'";
        let transactions = "SELECT 1 FROM information_schema.innodb_trx \
                            JOIN information_schema.processlist ON trx_mysql_thread_id = id \
                            WHERE mine";
        self.until(&format!("NOT EXISTS ({running}) AND NOT EXISTS ({transactions})")).await;
    }

    /// A number that the server counts.
    pub(crate) async fn status(&self, name: &str) -> u64 {
        let (_, count): (String, u64) =
            self.ask(&format!("SHOW GLOBAL STATUS LIKE '{name}'")).await;
        count
    }
}
