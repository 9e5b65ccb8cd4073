//! Objects as the API server would have created them, without a server: for a cluster that has been running before the run begins.

use std::net::Ipv4Addr;

use super::admission::{self, INITIAL_NAMESPACES, Specs};
use super::transaction::{GENERATED_BASE_MAX, SERVICE_ADDRESSES_TAKEN, SERVICE_NETWORK, address_key};
use super::{Config, write};
use crate::base::{Map, Name, Set, Stream, Time, stable_hash};
use crate::objects::{Key, Meta, Namespace, Object, PriorityClass, StorageClass};
use crate::wire::ApiError;

/// Creates objects at one instant, as [`super::ApiServer`] does: named, stamped, defaulted, admitted, valid. PriorityClasses are to come
/// before the pods that name them, StorageClasses before claims.
pub struct Creator {
    config: Config,
    now: Time,
    specs: Specs,
    classes: Map<Name, PriorityClass>,
    global_default: Option<PriorityClass>,
    storage_classes: Vec<StorageClass>,
    addresses: Set<Name>,
    next_address: u32,
    uids: u64,
    names: Stream,
}

impl Creator {
    /// `names`: for the suffixes of generated names.
    pub fn new(config: Config, now: Time, names: Stream) -> Creator {
        Creator {
            config,
            now,
            specs: Specs::default(),
            classes: Map::default(),
            global_default: None,
            storage_classes: Vec::new(),
            addresses: Set::default(),
            next_address: 1,
            uids: 0,
            names,
        }
    }
    /// The namespaces that every cluster has.
    pub fn initial_namespaces() -> impl Iterator<Item = Object> {
        INITIAL_NAMESPACES.iter().map(|name| Namespace { meta: Meta::named("", name), ..Namespace::default() }.into())
    }
    /// Keeps an address for the service whose manifest names it.
    pub fn reserve_address(&mut self, address: &Name) {
        self.addresses.insert(address.clone());
    }
    /// The object as it is stored.
    pub fn create(&mut self, object: &Object) -> Result<Object, ApiError> {
        let meta = object.meta();
        let name = if meta.name.is_empty() && !meta.generate_name.is_empty() {
            let base: String = meta.generate_name.chars().take(GENERATED_BASE_MAX).collect();
            Name::from(base + &self.names.name_suffix(5))
        } else {
            meta.name.clone()
        };
        let priority = match object {
            Object::Pod(pod) => {
                let key = Key::pod(&meta.namespace, &name);
                let of_name = |class: &Name| self.classes.get(class);
                Some(admission::priority(&key, &pod.spec, of_name, || self.global_default.as_ref())?)
            }
            _ => None,
        };
        self.uids += 1;
        let half = |part: u8| stable_hash(&("uid of the start", self.uids, part));
        let uid = super::server::uid(half(0), half(1));
        let with_class = match object {
            Object::PersistentVolumeClaim(claim) => {
                let mut claim = claim.clone();
                admission::give_class(&mut claim, self.storage_classes.iter());
                Some(claim.into())
            }
            _ => None,
        };
        let object = with_class.as_ref().unwrap_or(object);
        let mut created = write::create(&self.config, &mut self.specs, self.now, object, name, uid, priority.as_ref())?;
        match &mut created {
            Object::Service(service) if service.spec.cluster_ip.is_empty() && service.spec.kind != "ExternalName" => {
                service.spec.cluster_ip = self.choose_address();
            }
            Object::PriorityClass(class) => {
                if class.global_default && self.global_default.as_ref().is_none_or(|present| present.value < class.value) {
                    self.global_default = Some(class.clone());
                }
                self.classes.insert(class.meta.name.clone(), class.clone());
            }
            Object::StorageClass(class) => self.storage_classes.push(class.clone()),
            _ => {}
        }
        Ok(created)
    }
    /// The key that keeps a service's address for it, if it has one.
    pub fn address_key(object: &Object) -> Option<String> {
        address_key(object)
    }
    fn choose_address(&mut self) -> Name {
        loop {
            let host = self.next_address;
            self.next_address += 1;
            assert!(host < 0xffff, "10.96.0.0/16 has no address left for a service");
            let address = Name::from(Ipv4Addr::from(SERVICE_NETWORK | host).to_string());
            if !SERVICE_ADDRESSES_TAKEN.contains(&host) && self.addresses.insert(address.clone()) {
                return address;
            }
        }
    }
}
