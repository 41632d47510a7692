//! What does a client meet? The layer and the front door, with axum on top and two stores below.

mod crash;
mod door;
mod down;
mod guide;
mod hangup;
mod large;
mod methods;
mod numbers;
mod read;
mod rows;
mod stage;
mod wishes;
